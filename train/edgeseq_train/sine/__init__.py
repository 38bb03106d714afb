"""The noisy sine of the tutorials, done properly: `edgeseq demo sine`.

Every network is trained, converted and run in the device's runtime one reading at a time, beside forecasts that need no
training at all. What each of them earns is said in figures and pictures.
"""
