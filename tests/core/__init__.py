"""The engine alone: no PBX, no database, no clock."""
