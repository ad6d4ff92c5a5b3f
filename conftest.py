"""Before anything is collected: the compiled modules of the core come from where they are compiled."""

import fraudstream.core.prequential
import fraudstream.core.scoring  # noqa: F401  doctests would else load their sources a second time, beside them
