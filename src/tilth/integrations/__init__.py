"""What Tilth speaks to, one leaf file each; importing this package imports none of them."""
