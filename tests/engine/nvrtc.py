"""NVIDIA's run-time compiler, which needs no device and no driver: CuPy compiles kernels by it."""

import ctypes
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Nvrtc"]

TOOLKIT = Path("/usr/local/cuda/lib64")
LOG_BYTES = 1 << 16


class Nvrtc:
    """The compiler of a wheel (nvidia-cuda-nvrtc) or of the system. Raises OSError without one."""

    def __init__(self) -> None:
        nvidia = find_spec("nvidia")
        places = [Path(place) for place in (nvidia and nvidia.submodule_search_locations) or ()]
        for place in (*places, TOOLKIT):
            for path in sorted(place.rglob("libnvrtc.so.*")):
                for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
                    ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)  # which it looks for by name
                self._library = ctypes.CDLL(str(path))
                return
        raise OSError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")

    def compile(self, source: str, architecture: str, *options: str) -> tuple[bytes, str]:
        """Returns what becomes of a source, and the compiler's log.

        PTX where the architecture is a virtual one (compute_90), machine code for a real one
        (sm_90). Raises ValueError with the log where it does not compile.
        """
        program = ctypes.c_void_p()
        text = source.encode()
        self._ask("CreateProgram", ctypes.byref(program), text, b"kernels.cu", 0, None, None)
        try:
            return self._compiled(program, [f"--gpu-architecture={architecture}", *options])
        finally:
            self._ask("DestroyProgram", ctypes.byref(program))

    def _compiled(self, program: ctypes.c_void_p, options: list[str]) -> tuple[bytes, str]:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        result = self._library.nvrtcCompileProgram(program, len(options), given)
        log = ctypes.create_string_buffer(LOG_BYTES)
        self._library.nvrtcGetProgramLog(program, log)
        if result:
            raise ValueError(log.value.decode())
        kind = "PTX" if "=compute_" in options[0] else "CUBIN"
        size = ctypes.c_size_t()
        self._ask(f"Get{kind}Size", program, ctypes.byref(size))
        made = ctypes.create_string_buffer(size.value)
        self._ask(f"Get{kind}", program, made)
        return made.raw, log.value.decode()

    def _ask(self, function: str, *args: object) -> None:
        result = getattr(self._library, f"nvrtc{function}")(*args)
        if result:
            raise RuntimeError(f"nvrtc{function} failed: {result}")
