"""`python tests/golden/run.py FOLDER`: checks this package against every golden file of a folder."""

import sys
from pathlib import Path

if __name__ == "__main__":
    tests = Path(__file__).resolve().parents[1]
    sys.path[0] = str(tests)
    sys.path.append(str(tests.parent))
    from golden.runner import main

    sys.exit(main())
