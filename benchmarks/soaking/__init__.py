"""The parts of the soak: an application that leaves a trace, a collector that misbehaves when told, and a load."""
