"""Print the oldest versions that setup.cfg allows, as constraints for pip.

``make test-oldest`` installs them. They are read from setup.cfg, so a floor that does not hold
fails there. torch is left out: its oldest wheels bring CUDA along, and `constraints.txt` has one
that does not. By hand, from the repository's root::

    python .ci/oldest.py > oldest.txt
"""

import re
from configparser import ConfigParser
from pathlib import Path

LEFT_OUT = {"torch"}


def oldest(requirements: str) -> list[str]:
    """Turn lines such as ``napari[pyqt6]>=0.6.1`` into ``napari==0.6.1``."""
    lines = [line for line in requirements.split("\n") if line and not line.startswith("#")]
    found = []
    for line in lines:
        match = re.fullmatch(r"([\w.-]+)(\[[\w,-]+\])?>=([\d.]+)", line)
        assert match, f"setup.cfg says {line!r}; wanted NAME>=VERSION"
        if match[1] not in LEFT_OUT:
            found.append(f"{match[1]}=={match[3]}")
    return found


if __name__ == "__main__":
    config = ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    floors = oldest(config["options"]["install_requires"])
    floors += oldest(config["options.extras_require"]["all"])
    print("\n".join(floors))
