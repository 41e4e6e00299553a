"""Tensors in and out, on the device and of the dtype that they had."""

import torch

import streamsr


def psnr(image: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * torch.log10(torch.mean((image - truth) ** 2)))


truth = torch.linspace(0, 1, 128).expand(3, 96, 128)
low = torch.nn.functional.interpolate(truth[None], scale_factor=0.25, mode="area")[0]
with streamsr.Upscaler("fast", device="cpu") as upscaler:
    assert upscaler.device == torch.device("cpu")
    image = upscaler(low)
    assert image.dtype == torch.float32
    assert psnr(image, truth) > 40
    half: torch.Tensor = upscaler(low.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    for one in upscaler.map(torch.stack([low] * 3)):
        assert one.shape == (3, 96, 128)
