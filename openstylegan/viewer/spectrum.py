"""The spectrum of a layer, and its colours.

As StyleGAN3's visualizer shows it (arXiv 2106.12423): relative to its own mean, unlike the average spectra of
`sampling/spectra.py`, whose window it shares (the window's energy cancels).
"""

from __future__ import annotations

import base64

import numpy as np
import torch
from torch import Tensor

from openstylegan.sampling.spectra import SMALLEST_POWER, window

COLOURS = 1024
"""How many colours a range is shown in."""
VIRIDIS = (
    "L;+Mp0#!r<S49O_MFv_$2wO%8Tt*9CMhss@4q-<RVn-2UM-pX66lO;iXGa!kM;K~I8EZ%yY)Bk#NF8rT9&kt?aY!L@NFsAcBXmb4bw?(4M<;hjD0",
    "oLIc}FXHM=X0rEqq2Vd`2*RMlpUxGJi!he?>KbMK*y%H-SVsf<rokLpy^*JcL3$ghD=rLO_K<L54v>hCoAyKtzW>MTb8}h(1V&K1qo^N{Ky7i9Jk",
    "-JWYx`PKrBFiaSw?I#P=|Q;RuNi#b(`I97`|SBy7Uj5k?~Hd>4}TZ}baj5S@1G+vD~UyU<hjWc15GGdJ~V~sInjWK17F=mZ0XN@pujW219FKUf0Y",
    "mP2#jxKGEEpCo2Z;mW*jx2GGEOL%3bB-%?jw*GIDt3-4caAA|jwyMLD0+@4dX6Z2jwgJMCw-15evT%8jwXPPCV`G6f{rDFjU<GPB!!J6hK(bKjU$",
    "MSBZ-Y7iH#zPjUtPUA&iY7jf^3Vj3AGUAdrk8k&GXbj31MWAC!w9m5U#iiyoJX9+-+AnTj5niXNJY9-E0CoQWQth#sDZ9-oLFpobr!haaMbAESmK",
    "q=g`*g(0SeA*X~Qr-UP@gCnVeB&vcXtAQr0fhVniD6W4guYW4Aek-wkEU|qqvV1SIdoZ+mGPQa$ws|$Tcs96qIJtH?xpq6cbv?UuKD={4y>ddnaY",
    "VjwMZa%Hz-~#wZA-#zO~PwW!)Z~(Xj8>!RmNsl#${Q@WLwB$Uddr#$zWp2Uu4T&XUtq_%v)>CS#8c(aL!h8&sB8LRCmx)dC^gP(ocTUPJz=*gVRf",
    "f)JcfdM~l@)jn+hv)<crlL6z4(m)Jg<*gT!tI-l7%qS`m5+BK)!GpgG%t=urL+%B@+EVbP$x7{ha-Y31@Ccob#!rvmr-yz4~AIjh!&EOr+;T+Q88",
    "`R+%*Wwx4;uzfG7~kU<;o}(O;~3}U8R_I1?Bp8m<s0$k9P{NK_U0e><{|p#BK_wi",
)
"""The colour map viridis (Nathaniel Smith, Stefan van der Walt; released under CC0): 256 times red, green, blue."""


def log_spectrum(layer: Tensor, beta: float = 8.0) -> Tensor:
    """10 log10(P / mean P) dB [H, W] float64 of a layer [C, H, W], zero frequency in the middle (at H // 2, W // 2).

    P = sum over channels of |FFT((x - mean of the channel) Kaiser_H Kaiser_W)|^2. Where there is no power at all: 0 dB.
    """
    x = layer.double()
    x = x - x.mean((1, 2), keepdim=True)
    height, width = x.shape[1:]
    taper = torch.outer(window(height, beta), window(width, beta)).to(x)
    power = torch.fft.fft2(x * taper).abs().square().sum(0).roll((height // 2, width // 2), (0, 1))
    mean = power.mean()
    if not mean > 0:
        return torch.zeros_like(power)
    return 10 * (power / mean).clamp_min(SMALLEST_POWER).log10()


def colour_map() -> Tensor:
    """Viridis in `COLOURS` steps, uint8 [1024, 3]."""
    table = np.frombuffer(base64.b85decode("".join(VIRIDIS)), np.uint8).reshape(256, 3)
    return torch.from_numpy(table.repeat(COLOURS // 256, axis=0))


def coloured(db: Tensor, range_db: float) -> Tensor:
    """Decibels [H, W] as colours, uint8 [3, H, W]: -range is the first of the map, +range the last."""
    place = (db / range_db + 1) / 2
    index = (place * (COLOURS - 1)).round().clamp(0, COLOURS - 1).long()
    return colour_map().to(db.device)[index].permute(2, 0, 1)
