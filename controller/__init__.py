"""sandkeeper: Sandbox manifests in a folder, kept real as containers or directories on one machine."""

__version__ = "0.1.0"
