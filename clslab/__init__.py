"""clslab: the library of an open course on image classification with PyTorch.

Importing the package loads nothing else, so that it costs nothing; each submodule loads what it needs.
"""

__version__ = "0.1.0"
