"""The viewer: a network in the browser, and in Python without one.

    from openstylegan.viewer.session import Session
    from openstylegan.viewer.state import View

    session = Session(openstylegan.load("network.safetensors").G_ema)
    frame = session.render(View(model="", x=3.5, psi=0.7))     # frame.image: uint8 [H, W, C]

`server.py` puts a page in front of it (`openstylegan view`). Features follow the desktop program of StyleGAN3 (arXiv
2106.12423).
"""
