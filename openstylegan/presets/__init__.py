"""Recipes: from a few options to the whole configuration of a run. Importing them does not import torch."""
