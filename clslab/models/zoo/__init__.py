"""Networks for pictures of 32 by 32 pixels, one file per family; `clslab.models.create` builds them by name."""
