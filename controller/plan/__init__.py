"""Pure planning: desired, holds, observed and capabilities in; operations with their causes out."""
