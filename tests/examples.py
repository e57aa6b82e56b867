"""How many examples each property is tried with: 25, or what PYLED_EXAMPLES says."""

import os

EXAMPLES = int(os.environ.get("PYLED_EXAMPLES", "25"))
