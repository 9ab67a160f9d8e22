"""A GPU host in a box: what Docker Hub, Hugging Face and a Docker host provide, played on this machine.

May import `machine` and the image names of `planning`.
"""
