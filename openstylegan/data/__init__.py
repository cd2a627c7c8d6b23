"""Pictures: what can be read, how they are prepared, stored, cached, ordered and handed to training."""
