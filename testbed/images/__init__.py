"""
Images from the checkout, for a cluster without a registry.

    python -m testbed.images build loadline     prints the archive and the image's name

What is in an image is told by `images/*.Containerfile`, which any builder understands;
here buildah builds them, needing neither daemon nor network but for packages. The name's
tag is a hash of all that goes in: a second build costs nothing, a changed source has a
new name. `engine_mounts` has a pod run the engine of `testbed.engines`, which is too big for
an image, from the host.
"""
