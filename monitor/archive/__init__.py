"""Years of posts in files, past what one store and one machine hold: read, scored and counted by the functions that the steps use.

    inputs, shapes -> finding -> work (score, sort, settle) -> layout      one file each; `engines` says where the work runs
    fold           days of an archive into the store, as figures and a few posts that show them
    reading        what the store does not hold, out of the archive in SQL; `behind` puts its posts beside the store's

The promise: an archive is made of what was given and of nothing else, so that any engine, killed or not, makes the same one; and no
words stay in it but where they were asked for.
"""
