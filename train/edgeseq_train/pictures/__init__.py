"""Pictures of training: one kind a file, drawn by matplotlib, the same as PNG file and as SVG in a page.

All are drawn 400 units wide, so that a phone shows each as it is and a desk two beside one another. A function that
draws takes arrays and gives a Picture; what the arrays are is decided by those who call it.
"""
