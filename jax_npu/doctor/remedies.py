"""The commands that fix a machine, by Linux distribution.

A package is named only where the distribution is known to have it; elsewhere the remedy
is a link to the page of AMD's driver, which explains how to build it.
"""

import re

XDNA_README = "https://github.com/amd/xdna-driver#readme"

# What to install -> packages of (Debian and Ubuntu, Fedora, Arch).
PACKAGES: dict[str, tuple[str, str | None, str]] = {
    "runtime": ("libxrt2 libxrt-npu2", "xrt", "xrt xrt-plugin-amdxdna"),
    # XRT's headers include uuid.h, on which Debian's package does not depend.
    "headers": ("libxrt-dev uuid-dev", "xrt-devel libuuid-devel", "xrt"),
    "bindings": ("python3-xrt", "python3-xrt", "xrt"),
    "utilities": ("libxrt-utils", None, "xrt"),
}
DEBIAN_TESTING = ""  # testing and unstable have no VERSION_ID
BACKPORTS = {"13": "trixie-backports"}
FEDORA_WITH_XRT = 46
UBUNTU_WITH_XRT = 26.04

MEMLOCK_FILE = "/etc/security/limits.d/99-amdxdna.conf"
MEMLOCK = f"echo '* - memlock unlimited' | sudo tee {MEMLOCK_FILE}"
SYSTEMD_FILE = "/etc/systemd/system/user@.service.d/memlock.conf"
# A desktop's terminals take their limits from systemd, which reads no limits.d.
MEMLOCK_SYSTEMD = (
    f"sudo mkdir -p {SYSTEMD_FILE.rpartition('/')[0]} && "
    f"printf '[Service]\\nLimitMEMLOCK=infinity\\n' | sudo tee {SYSTEMD_FILE}"
)
UDEV_RULE = 'SUBSYSTEM=="accel", KERNEL=="accel*", GROUP="render", MODE="0660"'
NODE_ACCESS = (
    f"echo '{UDEV_RULE}' | sudo tee /etc/udev/rules.d/99-amdxdna.rules && "
    "sudo udevadm control --reload && "
    "sudo udevadm trigger --subsystem-match=accel --action=add"
)
LOAD_MODULE = "sudo modprobe amdxdna"
RELOAD_MODULE = "sudo modprobe -r amdxdna; sudo modprobe amdxdna"
# A module's key is enrolled at the next start, by a menu before the system's.
ENROL_KEY = "sudo mokutil --import /var/lib/dkms/mok.pub && sudo reboot"
# Beside the flags that the container has now; Podman takes the same.
PASS_DEVICE = "docker run --device /dev/accel/accel0 --ulimit memlock=-1 ..."
FAST_MODE = "sudo xrt-smi configure --pmode performance"
FEWER_IMAGES = "export JAX_NPU_IMAGE_CACHE_MB=64"
OTHER_BACKEND = "export JAX_NPU_BACKEND=host"
ENABLE_IN_BIOS = "sudo systemctl reboot --firmware-setup"

REINSTALL = "pip install --force-reinstall --no-deps ."


def install(what: str, distribution: tuple[str, str]) -> str:
    """The command that installs one of `PACKAGES`, or the page that explains how."""
    apt, dnf, pacman = PACKAGES[what]
    name, version = distribution
    if name == "ubuntu":
        ppa = "sudo add-apt-repository -y ppa:amd-team/xrt && "
        old = _number(version) < UBUNTU_WITH_XRT
        return f"{ppa if old else ''}sudo apt install {apt}"
    if name == "debian" and (version in BACKPORTS or version == DEBIAN_TESTING):
        return f"sudo apt install {_backports(version)}{apt}"
    if dnf and name == "fedora" and _number(version) >= FEDORA_WITH_XRT:
        return f"sudo dnf install {dnf}"
    if name == "arch":
        return f"sudo pacman -S {pacman}"
    return f"see {XDNA_README}"


def newer_kernel(distribution: tuple[str, str]) -> str:
    """The command that installs Linux 6.14 or newer."""
    name, version = distribution
    commands = {"fedora": "sudo dnf upgrade --refresh", "arch": "sudo pacman -Syu"}
    if version in BACKPORTS or version == DEBIAN_TESTING:
        commands["debian"] = f"sudo apt install {_backports(version)}linux-image-amd64"
    if version == "24.04":
        commands["ubuntu"] = "sudo apt install linux-generic-hwe-24.04"
    command = commands.get(name)
    return f"{command} && sudo reboot" if command else f"see {XDNA_README}"


def without_argument(argument: str, distribution: tuple[str, str]) -> str:
    """The command that takes an argument off the kernel's command line."""
    name = distribution[0]
    if name == "fedora":
        command = f"sudo grubby --update-kernel=ALL --remove-args={argument}"
        return f"{command} && sudo reboot"
    if name in ("debian", "ubuntu"):
        edit = f"sudo sed -i 's/ *\\b{re.escape(argument)}\\b//' /etc/default/grub"
        return f"{edit} && sudo update-grub && sudo reboot"
    return f"take {argument} out of your boot loader's configuration, and restart"


def driver_module(distribution: tuple[str, str]) -> str:
    """The command for a kernel that is new enough but was built without the driver."""
    if distribution[0] == "ubuntu":
        return (
            "sudo add-apt-repository -y ppa:amd-team/xrt && "
            "sudo apt install amdxdna-dkms && sudo reboot"
        )
    return f"see {XDNA_README}"


def firmware(distribution: tuple[str, str]) -> str:
    name, version = distribution
    debian = f"sudo apt install {_backports(version)}firmware-amd-graphics"
    commands = {
        "ubuntu": "sudo apt install --reinstall linux-firmware",
        "debian": debian,  # in the section non-free-firmware
        "fedora": "sudo dnf reinstall linux-firmware",
        "arch": "sudo pacman -S linux-firmware-amd",
    }
    command = commands.get(name)
    return f"{command} && sudo reboot" if command else f"see {XDNA_README}"


def _backports(version: str) -> str:
    return f"-t {BACKPORTS[version]} " if version in BACKPORTS else ""


def _number(version: str) -> float:
    try:
        return float(version)
    except ValueError:
        return 0.0
