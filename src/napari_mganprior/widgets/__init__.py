"""The napari door: layers in, layers out. Only this room knows napari, magicgui and Qt."""
