"""The command groups of `clslab.cli`, one module each with `register(subparsers)`."""
