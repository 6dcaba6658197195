"""Run one job as root in a guest: a stock Debian kernel under QEMU, without hardware virtualisation."""
