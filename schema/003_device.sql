-- 003_device.sql - what a device tells beside memory, power and clock.

-- Processes on the device beside the instance's own: what is measured meanwhile is not the instance's alone.
ALTER TABLE instance_metric ADD COLUMN others INTEGER; -- NULL: the device does not tell
