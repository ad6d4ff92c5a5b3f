"""Online fraud detection on Faust and River.

Importing this package starts nothing and reads no settings. The pieces, from the inside out: ``core``
decides, ``delivery`` loses and doubles nothing, ``adapters`` talk to one outside system each, ``app`` puts
them together.
"""

__version__ = "0.1.0"
