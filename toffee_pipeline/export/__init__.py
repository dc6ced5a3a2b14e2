"""A finished run published: other people's formats, splits by subject, marked images, a card and Croissant metadata."""
