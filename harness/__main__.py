"""``python -m harness``: the command."""

import harness
from harness.core.python_child import leave_working_folder

leave_working_folder(harness.__file__)

from harness.cli.main import main  # noqa: E402  # whatever it imports is not to come from the working folder

main()
