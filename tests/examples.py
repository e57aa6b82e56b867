"""How many examples each property is tried on: PYLED_EXAMPLES, 25 unless set."""

import os

EXAMPLES = int(os.environ.get("PYLED_EXAMPLES", "25"))
