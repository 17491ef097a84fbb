"""Models: a small network to train from scratch, and borrowed ones (`clslab.models.transfer`)."""
