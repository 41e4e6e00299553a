"""The curve from HDR to SDR: PQ and HLG in BT.2020 into BT.709, in arithmetic alone.

Light is decoded by ITU-R BT.2100, HLG for a display of 1000 cd/m². What is brighter than 203 cd/m²,
the white of ITU-R BT.2408, is compressed by the EETF of ITU-R BT.2390 (5.4.1), by the largest of
the three primaries, so that no hue changes; that white comes out at nine tenths of the signal. The
primaries are BT.709's by ITU-R BT.2087; a colour beyond them loses saturation, not hue.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["HDR_TRANSFERS", "HLG", "PQ", "USUAL_PEAK", "WHITE", "sdr_signal"]

Values = NDArray[np.float64]

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273
HDR_TRANSFERS = {PQ: "PQ", HLG: "HLG"}
WHITE = 203.0  # cd/m² that become the most of what SDR shows
USUAL_PEAK = 1000.0  # cd/m² of a display that nothing is said of
MOST = 10_000.0  # cd/m² of PQ
M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
A, B, C = 0.17883277, 0.28466892, 0.55991073
LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593])
LUMINANCE_709 = np.array([0.2126, 0.7152, 0.0722])
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def sdr_signal(signal: Values, transfer: int, peak: float = USUAL_PEAK) -> Values:
    """Returns what SDR shows of HDR: R'G'B' (..., 3) in [0, 1] of BT.2020, to that of BT.709.

    ``peak`` is the most light there is, in cd/m². The display is that of ITU-R BT.1886.
    """
    light = (_pq_light(signal) if transfer == PQ else _hlg_light(signal)) @ TO_709.T
    peak = peak if transfer == PQ else USUAL_PEAK
    most: Values = np.maximum(np.max(light, -1, keepdims=True), 1e-6)
    shown = light * (_compressed(most, max(peak, WHITE)) / most) / WHITE
    signals: Values = _within(shown) ** (1 / 2.4)
    return signals


def _pq_light(signal: Values) -> Values:
    power: Values = np.clip(signal, 0, 1) ** (1 / M2)
    share: Values = np.clip(power - C1, 0, 1) / (C2 - C3 * power)
    light: Values = MOST * share ** (1 / M1)
    return light


def _pq_signal(light: Values) -> Values:
    power = (np.clip(light, 0, MOST) / MOST) ** M1
    signal: Values = ((C1 + C2 * power) / (1 + C3 * power)) ** M2
    return signal


def _hlg_light(signal: Values) -> Values:
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12)
    luminance = (scene @ LUMINANCE_2020)[..., None]
    light: Values = USUAL_PEAK * np.maximum(luminance, 1e-9) ** 0.2 * scene  # system gamma 1.2
    return light


def _compressed(light: Values, peak: float) -> Values:
    """BT.2390's EETF: up to ``peak`` into up to ``WHITE`` cd/m²; black stays where it is."""
    top = float(_pq_signal(np.array(peak)))
    most = float(_pq_signal(np.array(WHITE))) / top
    knee = 1.5 * most - 0.5
    signal = np.minimum(_pq_signal(light) / top, 1)
    t = np.clip((signal - knee) / max(1 - knee, 1e-6), 0, 1)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    return _pq_light(np.where(signal < knee, signal, bent) * top)


def _within(light: Values) -> Values:
    """Linear R, G, B brought into [0, 1] toward the grey of their luminance."""
    grey = np.clip(light @ LUMINANCE_709, 0, 1)[..., None]
    offset = light - grey
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(offset > 0, (1 - grey) / offset, grey / -offset)
    share = np.min(np.where(offset == 0, 1, reach), -1, keepdims=True)
    within: Values = np.clip(grey + np.minimum(share, 1) * offset, 0, 1)
    return within
