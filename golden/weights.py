"""The recipe of the small models' weights, which stands in `pyled/porting/recipe.py`, under this folder's name for it.

subtle: it is loaded by its path. The environments of the reference lack what `import pyled` needs.
"""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "recipe", Path(__file__).parent.parent / "pyled" / "porting" / "recipe.py"
)
assert _SPEC is not None and _SPEC.loader is not None
_RECIPE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RECIPE)
globals().update({name: value for name, value in vars(_RECIPE).items() if not name.startswith("_")})
