"""What files of others can do: run nothing, reach nothing outside their folder, forge nothing that is shown.

These tests go through rooms, so they mirror no file of the package.
"""
