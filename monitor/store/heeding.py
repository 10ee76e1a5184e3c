"""What another monitor's store has forgotten is forgotten here too, before anything of it comes.

The promise: it is found again at every merge by what both stores hold, so that a merge which was killed loses none of it.
"""

from __future__ import annotations

from monitor.store.another import Another
from monitor.store.forgetting import Forgetting
from monitor.store.posts import distinctive, hidden_id, mark


class Heeding(Forgetting):
    """The table `forgotten` of two stores."""

    def heed(self, other: Another) -> list[int]:
        """Take over whose posts, and which titles, are not to be stored; returns the posts here that are to be forgotten for it.

        Titles, and the ids of posts that were forgotten there, go from other people's posts at once.
        """
        found = [tuple(row) for row in other.rows("SELECT source, kind, mark, forgotten_on FROM forgotten WHERE kind <> 'source'")]
        marks, hidden = {row[2] for row in found}, other.forgotten_ids()
        with self.writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO forgotten VALUES (?, ?, ?, ?)", found)
            if not (marks or hidden):
                return []
            leaving, changes = [], []
            for row in connection.execute(
                """SELECT id, source, native_id, parent_id, thread_id, title, author_key FROM posts
                   WHERE NOT retired AND native_id NOT LIKE 'hidden:%'"""
            ):
                source, title, parent, thread = row["source"], row["title"], row["parent_id"], row["thread_id"]
                key = row["author_key"]
                if hidden_id(source, row["native_id"]) in hidden or (key and mark("author", source, key) in marks):
                    leaving.append(row["id"])
                title = None if title and mark("title", source, title) in marks else title
                parent = None if distinctive(parent) and hidden_id(source, parent) in hidden else parent
                thread = instead if distinctive(thread) and (instead := hidden_id(source, thread)) in hidden else thread
                if (title, parent, thread) != (row["title"], row["parent_id"], row["thread_id"]):
                    changes.append((title, title != row["title"], parent, thread, row["id"]))
            connection.executemany(
                "UPDATE posts SET title = ?, unread = max(unread, ? AND deleted_at IS NULL), parent_id = ?, thread_id = ? WHERE id = ?",
                changes,
            )
            if changes:
                self._note_leftovers(connection)
        return leaving

    def sources_forgotten(self) -> dict[str, str]:
        """The last UTC day, as ISO text, on which each source was forgotten whole."""
        return {row["source"]: row["forgotten_on"] for row in self.forgotten() if row["kind"] == "source"}
