"""The tables of networks: a new one is one file, one line here, one test file (the contract tests reach it by name)."""

from __future__ import annotations

from openstylegan.networks.base import Discriminator, Generator, set_precision
from openstylegan.networks.fastgan import FastGANGenerator
from openstylegan.networks.msg import MSGGenerator
from openstylegan.networks.msg_discriminator import MSGDiscriminator
from openstylegan.networks.plain_stylegan2 import RisingStyleGAN2Discriminator, TanhStyleGAN2Generator
from openstylegan.networks.projected import ProjectedDiscriminator
from openstylegan.networks.stylegan1 import StyleGAN1Generator
from openstylegan.networks.stylegan1_discriminator import StyleGAN1Discriminator
from openstylegan.networks.stylegan2 import StyleGAN2Generator
from openstylegan.networks.stylegan2_discriminator import StyleGAN2Discriminator
from openstylegan.networks.stylegan3 import StyleGAN3Generator

__all__ = ["DISCRIMINATORS", "GENERATORS", "Discriminator", "Generator", "set_precision"]

GENERATORS: dict[str, type[Generator]] = {
    "fastgan": FastGANGenerator,
    "msg_stylegan": MSGGenerator,
    "stylegan1": StyleGAN1Generator,
    "stylegan2": StyleGAN2Generator,
    "stylegan2_tanh": TanhStyleGAN2Generator,
    "stylegan3": StyleGAN3Generator,
}

DISCRIMINATORS: dict[str, type[Discriminator]] = {
    "msg_stylegan": MSGDiscriminator,
    "projected": ProjectedDiscriminator,
    "stylegan1": StyleGAN1Discriminator,
    "stylegan2": StyleGAN2Discriminator,
    "stylegan2_rising": RisingStyleGAN2Discriminator,
}
