"""Imports torchaudio without its compiled library where a CPU build of torch cannot load it: its Python code runs."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType


class _Stub(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for `torchaudio._extension`: says that nothing compiled is there."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name == "torchaudio._extension":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module._IS_TORCHAUDIO_EXT_AVAILABLE = False
        module._IS_ALIGN_AVAILABLE = False
        module._IS_RIR_AVAILABLE = False
        module.fail_if_no_align = lambda function: function
        module._load_lib = lambda *names: False
        module._check_cuda_version = lambda *names: None
        module.lazy_import_sox_ext = None


def torchaudio() -> ModuleType:
    """The torchaudio module, with its compiled library where that loads."""
    try:
        import torchaudio as module
    except OSError:
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Stub())
        import torchaudio as module
    return module
