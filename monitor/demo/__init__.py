"""The January 2025 replay: a small forum on loopback, the posts it shows, and the commands run against it day by day.

Every author, and every post, was made up for it: nobody is quoted.
"""
