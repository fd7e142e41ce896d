"""All detectors: pure functions ``ImageFacts -> Iterable[Observation]``, in one explicit tuple."""

from __future__ import annotations

from imagescan.rules.detectors.announcements import ANNOUNCED_LIBRARY
from imagescan.rules.detectors.bundles import UNUSABLE_BUNDLE
from imagescan.rules.detectors.current_directory import CURRENT_DIRECTORY
from imagescan.rules.detectors.interpreters import INTERPRETER
from imagescan.rules.detectors.libraries import MISSING_LIBRARY
from imagescan.rules.detectors.loader_faults import LOADER_FAULT
from imagescan.rules.detectors.mixed_libc import MIXED_LIBC
from imagescan.rules.detectors.page_sizes import SMALL_ALIGNMENT
from imagescan.rules.detectors.platforms import FOREIGN_FORMAT, SAME_BINARY, WRONG_ARCHITECTURE
from imagescan.rules.detectors.registry import Detector
from imagescan.rules.detectors.run_paths import RUN_PATH
from imagescan.rules.detectors.startup_steps import (
    CARRIAGE_RETURN,
    FAILING_STEP,
    NO_COMMAND,
    REFUSED_FILE,
    UNKNOWN_USER,
)
from imagescan.rules.detectors.symbols import MISSING_SYMBOL
from imagescan.rules.detectors.versions import MISSING_VERSION

DETECTORS: tuple[Detector, ...] = (
    FAILING_STEP,
    CARRIAGE_RETURN,
    REFUSED_FILE,
    UNKNOWN_USER,
    NO_COMMAND,
    INTERPRETER,
    MISSING_LIBRARY,
    ANNOUNCED_LIBRARY,
    LOADER_FAULT,
    CURRENT_DIRECTORY,
    MISSING_VERSION,
    MISSING_SYMBOL,
    MIXED_LIBC,
    RUN_PATH,
    WRONG_ARCHITECTURE,
    SAME_BINARY,
    FOREIGN_FORMAT,
    UNUSABLE_BUNDLE,
    SMALL_ALIGNMENT,
)
