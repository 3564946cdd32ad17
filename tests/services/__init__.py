"""The services below the suite: which broker and database it runs on, and how they are started."""
