#!/bin/sh
# Shapes a Debian root ($1) into the official Python image: python3 and pip in /usr/local/bin, packages in
# /usr/local/lib/python3.11/site-packages, and no rule against installing into them.
set -eu
# A virtual environment at /usr/local gives exactly these paths to Debian's Python.
chroot "$1" /usr/bin/python3 -m venv /usr/local
rm -f "$1/usr/lib/python3.11/EXTERNALLY-MANAGED"
chroot "$1" /usr/local/bin/pip --version
rm -rf "$1/usr/local/bin/activate" "$1/usr/local/bin/activate.csh" "$1/usr/local/bin/activate.fish" \
    "$1/usr/local/bin/Activate.ps1"
