"""Wire formats that come with the product, one file each."""
