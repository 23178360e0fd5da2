"""File trees of machines with sensors of energy, with the files that Linux has."""

from pathlib import Path

RANGE = 65_532_610_987  # microjoules, as on an AMD laptop
ZONES = "sys/class/powercap"
BATTERIES = "sys/class/power_supply"


def write(root: Path, path: str, content: object) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{content}\n")
    return target


def add_zone(root: Path, zone: str, name: str, counter: int = 0) -> None:
    write(root, f"{ZONES}/{zone}/name", name)
    write(root, f"{ZONES}/{zone}/max_energy_range_uj", RANGE)
    set_counter(root, zone, counter)


def set_counter(root: Path, zone: str, microjoules: int) -> Path:
    return write(root, f"{ZONES}/{zone}/energy_uj", microjoules)


def add_battery(root: Path, name: str = "BAT0", status: str = "Discharging", **files):
    """Writes a battery with files such as `power_now=`, in micro-units."""
    write(root, f"{BATTERIES}/{name}/status", status)
    for file, value in files.items():
        write(root, f"{BATTERIES}/{name}/{file}", value)


def add_npu(root: Path, microwatts: int, folder: str = "hwmon3") -> None:
    """Writes amdxdna's sensor, beside that of another driver."""
    write(root, "sys/class/hwmon/hwmon0/name", "k10temp")
    write(root, "sys/class/hwmon/hwmon0/power1_input", 99_000_000)
    write(root, f"sys/class/hwmon/{folder}/name", "amdxdna")
    write(root, f"sys/class/hwmon/{folder}/power1_input", microwatts)
