"""What counts as a delivered image, how it is converted, and how a link to it is signed. No sockets, no stores."""
