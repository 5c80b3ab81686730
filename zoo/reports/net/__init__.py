"""The trained net as a page can compute it: the operations of its forward pass, read off the module."""
