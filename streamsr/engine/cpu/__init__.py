"""The engines of a CPU: one thread a window, by the kind of network."""

from streamsr.engine.cpu.engine import CpuEngine, CpuJob, cpu_pool

__all__ = ["CpuEngine", "CpuJob", "cpu_pool"]
