"""EDVR: several frames in, their centre out four times as large, aligned by deformable convolution.

Wang et al., EDVR: Video Restoration with Enhanced Deformable Convolutional Networks, 2019. Modules
have the names of the published BasicSR checkpoints, so that those load as they are. In shapes, b
is the batch, t the window's frames, n frames of any window, c channels, h and w the frame at the
features' size.
"""

from streamsr.networks.edvr.network import EDVR

__all__ = ["EDVR"]
