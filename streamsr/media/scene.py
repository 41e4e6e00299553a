"""placeholder until the scene is there"""

import numpy as np

SOUND_RATE = 48000


class Scene:
    def __init__(self, width=320, height=180, rate=25):
        self.width, self.height, self.rate = width, height, rate

    def picture(self, n):
        y = (np.add.outer(np.arange(self.height), np.arange(self.width)) + n) % 220 + 16
        c = np.full((-(-self.height // 2), -(-self.width // 2)), 128, np.uint8)
        return y.astype(np.uint8), c, c

    def sound(self, n):
        return (np.sin(np.arange(n * 1920, n * 1920 + 1920) * 0.05) * 3000).astype(np.int16)
