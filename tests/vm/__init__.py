"""A guest: a stock Debian kernel under QEMU, without hardware virtualisation, that runs one job as root."""
