"""The low-level operations: plain PyTorch references, and faster paths that are chosen at run time."""
