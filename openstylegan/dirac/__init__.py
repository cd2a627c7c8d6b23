"""The Dirac-GAN laboratory: two numbers that play the game of a GAN, with and without what should bring them to rest.

Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually converge?" (arXiv 1801.04406): the generator
is a point at theta, the discriminator the line D(x) = phi x, the data a point at c. Luo, Zhu, Chen, Zhu (arXiv
2306.10468): the same with the Brownian Motion Controller.
"""

from openstylegan.dirac.game import LOSSES, REGULARIZERS, Control, Game
from openstylegan.dirac.simulate import Protocol, arrivals, path

__all__ = ["LOSSES", "REGULARIZERS", "Control", "Game", "Protocol", "arrivals", "path"]
