"""How many examples each property is tried with: few by default, PYLED_EXAMPLES=1000 for a long run."""

import os

EXAMPLES = int(os.environ.get("PYLED_EXAMPLES", "25"))
